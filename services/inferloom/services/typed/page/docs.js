"use strict";

// Swagger UI draws the document; what did not tell its types is listed below it.
async function main() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch("/openapi.json");
    const spec = await answer.json();
    if (!answer.ok) throw new Error(spec.message);
    state.hidden = Object.keys(spec.paths).length > 0;
    state.textContent = state.hidden ? "" : "Nothing has told its types yet: load this page again in a moment.";
    SwaggerUIBundle({
      spec,
      dom_id: "#operations",
      presets: [SwaggerUIBundle.presets.apis],
      layout: "BaseLayout",
      validatorUrl: null, // it would ask another host
      deepLinking: true,
      tryItOutEnabled: true,
      displayRequestDuration: true,
      defaultModelsExpandDepth: -1,
    });
    for (const [name, why] of Object.entries(spec["x-inferloom-unanswered"] || {})) {
      const item = document.createElement("li");
      item.textContent = `${name}: ${why}`;
      document.getElementById("unanswered").append(item);
    }
  } catch (error) {
    state.hidden = false;
    state.className = "failed";
    state.textContent = String(error);
  }
}

main();
