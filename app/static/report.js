// The report as Markdown, which is asked for by a header and therefore is no link; and the menu that it is in.

import { notice } from "./pith.js";

const menu = document.querySelector(".menu");
const button = document.getElementById("markdown");
button.hidden = false;
button.addEventListener("click", async () => {
  const answer = await fetch(button.dataset.report, { headers: { Accept: "text/markdown" } });
  if (!answer.ok || !answer.headers.get("content-type")?.startsWith("text/markdown")) {
    notice("This service gives no report as Markdown.", "warn");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = "report.md";
  link.click();
  URL.revokeObjectURL(link.href);
});

document.addEventListener("click", (event) => {
  if (!menu.contains(event.target)) menu.open = false;
});
window.addEventListener("blur", () => (menu.open = false)); // into the frame
menu.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
