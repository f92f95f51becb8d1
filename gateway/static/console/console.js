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

// The list of a provider's models: filter by name, choose all new ones that show, send the chosen as one field.
(() => {
  const start = (form) => {
    const rows = [...form.querySelectorAll("tr[data-name]")];
    const boxes = rows.map((row) => row.querySelector('input[name="chosen"]'));
    const filter = form.querySelector("[data-discover-filter]");
    const add = form.querySelector("[data-discover-add]");

    const count = () => {
      const chosen = boxes.filter((box) => box.checked && !box.disabled).length;
      add.textContent = chosen ? `Add ${chosen} model${chosen === 1 ? "" : "s"}` : "Add the chosen";
    };
    const show = () => {
      const wanted = filter.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.dataset.name.includes(wanted);
      form.querySelector("[data-discover-none]").hidden = rows.some((row) => !row.hidden);
    };
    const choose = (which) => {
      boxes.forEach((box, number) => {
        if (!rows[number].hidden && !box.disabled) box.checked = which(box);
      });
      count();
    };

    filter.addEventListener("input", show);
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault(); // it would add what is chosen
    });
    form.addEventListener("change", count);
    form.querySelector("[data-discover-all]").addEventListener("click", () => choose((box) => "new" in box.dataset || box.checked));
    form.querySelector("[data-discover-clear]").addEventListener("click", () => choose(() => false));
    form.addEventListener("submit", () => {
      const chosen = boxes.filter((box) => box.checked && !box.disabled);
      form.elements.chosen_ids.value = JSON.stringify(chosen.map((box) => box.value));
      for (const box of boxes) box.removeAttribute("name");
      add.disabled = true;
    });
    // a page that the browser kept comes back as it was left
    window.addEventListener("pageshow", () => {
      for (const box of boxes) box.name = "chosen";
      add.disabled = false;
      show();
      count();
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("form[data-discover]").forEach(start);
  });
})();
