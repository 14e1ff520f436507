// Commands to copy. Pages read well without this: it puts the address that the visitor came by in place of the one the
// page was made with, and adds a button to copy.
"use strict";

for (const box of document.querySelectorAll(".command")) {
  const code = box.querySelector("code");
  if (location.origin.startsWith("http") && code.dataset.base) {
    code.textContent = code.textContent.replaceAll(code.dataset.base, location.origin);
  }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the command");
  const said = document.createElement("span"); // for screen readers
  said.className = "hidden";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    const ok = await copy(code);
    button.textContent = ok ? "Copied" : "Selected";
    said.textContent = ok ? "Copied" : "Selected: press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
  });
  box.classList.add("copies");
  box.append(button, said);
}

// The clipboard is there for https and for this machine only; elsewhere the old way may do.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
