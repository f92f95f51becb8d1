// Copies the text of an element by its id; works without the clipboard API (plain http) too.
(() => {
  const copied = (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      return navigator.clipboard.writeText(text);
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.className = "sy-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("copying is not allowed"));
  };

  const say = (button, text) => {
    const label = button.querySelector("[data-copy-label]");
    label.textContent = text;
    setTimeout(() => { label.textContent = "Copy"; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    copied(source.textContent).then(
      () => say(button, "Copied"),
      () => {
        window.getSelection().selectAllChildren(source);
        say(button, "Press Ctrl+C");
      },
    );
  });
})();
