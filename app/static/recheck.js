// Checks an upload again with what is said of it now. These words go into the query, as with the upload.

import { Problem, ask, clear, show } from "./pith.js";

document.getElementById("recheck").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  clear(form);
  const words = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
  try {
    await ask("POST", `${form.dataset.path}?${words}`);
    location.reload();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    show(problem, form);
  }
});
