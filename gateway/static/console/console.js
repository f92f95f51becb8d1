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

// Fills the bars of limits: one request for all that a page shows, fifty at a time.
(() => {
  const AT_ONCE = 50;

  const fill = async (places) => {
    const query = new URLSearchParams(places.map((place) => ["id", place.dataset.limit]));
    if (places[0].dataset.whole) query.set("whole", "1");
    const answer = await fetch(`${places[0].dataset.url}?${query}`, { redirect: "error" });
    if (!answer.ok) throw new Error(`bars of limits: ${answer.status}`);
    const bars = await answer.json();
    for (const place of places) place.innerHTML = bars[place.dataset.limit] ?? "-";
  };

  document.addEventListener("DOMContentLoaded", async () => {
    const places = [...document.querySelectorAll("[data-limit]")];
    while (places.length) {
      const some = places.splice(0, AT_ONCE);
      try {
        await fill(some);
      } catch {
        for (const place of some) place.textContent = "not known now";
      }
    }
  });
})();
