// The example: brought in by one button, brought in and compressed by the other.

import { Problem, ask, notice } from "./pith.js";

async function pressed(button, go) {
  const said = button.textContent;
  button.disabled = true;
  button.textContent = "Bringing it in …";
  try {
    location.assign(await go(await ask("POST", "/v1/example")));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    notice(problem.message);
    button.disabled = false;
    button.textContent = said;
  }
}

document.getElementById("try")?.addEventListener("click", (event) =>
  pressed(event.target, async (example) => `/jobs/${(await ask("POST", "/v1/jobs", example.spec)).id}`),
);
document.getElementById("bring")?.addEventListener("click", (event) =>
  pressed(event.target, async (example) => `/models/${example.model.id}`),
);
