// The report as Markdown, which is asked for by a header and therefore is no link.

import { notice } from "./pith.js";

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
