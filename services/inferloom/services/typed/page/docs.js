"use strict";

// An example of what a schema takes; references are followed four levels deep.
function example(schema, root, depth = 0) {
  if (schema === true || schema === undefined || depth > 8) return null;
  if (schema.$ref) {
    const target = schema.$ref.slice(2).split("/").reduce((at, key) => at && at[key.replace(/~1/g, "/").replace(/~0/g, "~")], root);
    return example(target, root, depth + 1);
  }
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.examples) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  const options = schema.anyOf || schema.oneOf || schema.allOf;
  if (options) return example(options[0], root, depth + 1);
  switch (schema.type) {
    case "object": {
      const made = {};
      for (const [name, each] of Object.entries(schema.properties || {})) {
        if ((schema.required || []).includes(name) || "default" in each) made[name] = example(each, root, depth + 1);
      }
      return made;
    }
    case "array": {
      if (schema.prefixItems) return schema.prefixItems.map((each) => example(each, root, depth + 1));
      const count = Math.min(Math.max(schema.minItems || 1, 1), 4096);
      return Array.from({ length: count }, () => example(schema.items, root, depth + 1));
    }
    case "integer": return Math.ceil(schema.minimum > 0 ? schema.minimum : 0);
    case "number": return schema.minimum > 0 ? schema.minimum : 0.5;
    case "boolean": return true;
    case "string": return schema.contentEncoding === "base64" ? "AAAA" : "text";
    default: return null;
  }
}

function add(parent, tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  parent.append(made);
  return made;
}

async function send(path, body, output) {
  output.className = "";
  output.textContent = "…";
  const began = performance.now();
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    output.textContent = "";
    if (!answer.ok) output.className = "failed";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) output.textContent += part.value;
    output.textContent += `\n${answer.status}, ${Math.round(performance.now() - began)} ms`;
  } catch (error) {
    output.className = "failed";
    output.textContent = String(error);
  }
}

function show(path, operation, root) {
  const box = add(document.getElementById("operations"), "details");
  const head = add(box, "summary");
  add(head, "code", `POST ${path}`);
  head.append(` ${operation.summary}`);
  box.addEventListener("toggle", () => {
    if (box.childElementCount > 1) return;
    const takes = operation.requestBody.content["application/json"].schema;
    const gives = Object.values(operation.responses["200"].content)[0].schema;
    add(box, "h2", "Body");
    const area = add(box, "textarea");
    area.setAttribute("aria-label", `body of ${path}`);
    area.spellcheck = false;
    area.value = JSON.stringify(example(takes, root), null, 1);
    const button = add(box, "button", "Send");
    const output = add(box, "pre");
    button.addEventListener("click", () => send(path, area.value, output));
    add(box, "h2", "Takes");
    add(box, "pre", JSON.stringify(takes, null, 1));
    add(box, "h2", "Gives");
    add(box, "pre", JSON.stringify(gives, null, 1));
  });
}

async function main() {
  const state = document.getElementById("state");
  try {
    const root = await (await fetch("/openapi.json")).json();
    const paths = Object.entries(root.paths);
    state.textContent = paths.length ? "" : "No service or pipeline has told its types yet.";
    for (const [path, entry] of paths) show(path, entry.post, root);
    for (const [name, why] of Object.entries(root["x-inferloom-unanswered"] || {})) {
      add(document.getElementById("operations"), "p", `${name}: ${why}`, "failed");
    }
  } catch (error) {
    state.className = "failed";
    state.textContent = String(error);
  }
}

main();
