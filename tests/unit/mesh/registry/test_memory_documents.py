from __future__ import annotations

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.base import Documents
from inferloom.mesh.registry.memory import MemoryDocuments
from tests.support.documents_contract import DocumentsContract


class TestMemoryDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self) -> Documents:
        return MemoryDocuments(ManualClock())

    @pytest.fixture
    def others(self, documents: Documents) -> Documents:
        return documents
