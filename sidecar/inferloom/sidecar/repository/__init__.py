"""A Triton model repository: REPOSITORY/NAME/config.pbtxt and REPOSITORY/NAME/VERSION/.

What is placed here NVIDIA's container understands as well. Whatever appears appears whole: it is built in a hidden folder
beside the models and renamed; who scans the repository ignores hidden folders.
"""

from inferloom.sidecar.repository.place import place, remove
from inferloom.sidecar.repository.scan import RepositoryModel, scan

__all__ = ["RepositoryModel", "place", "remove", "scan"]
