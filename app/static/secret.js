// A secret that has just been made: shown once, in a dialog, and nowhere kept.

document.addEventListener("pith:done", (event) => {
  const secret = event.detail?.secret;
  if (!secret) return;
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "secret-title");
  const title = document.createElement("h2");
  title.id = "secret-title";
  title.textContent = `The secret of ${event.detail.name}`;
  const said = document.createElement("p");
  said.textContent = "It is shown this once. Copy it to where it is used; nobody can find it again.";
  const box = document.createElement("pre");
  box.id = "secret";
  box.className = "secret break";
  box.tabIndex = 0;
  box.textContent = secret;
  const row = document.createElement("div");
  row.className = "actions";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "primary";
  copy.dataset.copy = "#secret";
  copy.textContent = "Copy";
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "I have it";
  close.addEventListener("click", () => dialog.close());
  row.append(copy, close);
  dialog.append(title, said, box, row);
  dialog.addEventListener("close", () => location.reload());
  document.body.append(dialog);
  dialog.showModal();
});
