// What the page does without the server: the before/after range, and marks that can be dragged.
(() => {
  const root = document.documentElement;
  document.addEventListener("input", (event) => {
    if (event.target.id === "split") root.style.setProperty("--split", event.target.value + "%");
  });

  // A number typed beyond its slider becomes the nearest one, before anything reads it.
  document.addEventListener("input", (event) => {
    const { type, min, max, value } = event.target;
    if (type !== "number" || value === "") return;
    if (max !== "" && Number(value) > Number(max)) event.target.value = max;
    if (min !== "" && Number(value) < Number(min)) event.target.value = min;
  }, true);

  // The sliders hold the values; a mark moves its slider as a hand would.
  const setSlider = (name, value, last) => {
    const range = document.querySelector(`#${name} input[type=range]`);
    if (!range) return;
    const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    setter.call(range, value);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    if (last) range.dispatchEvent(new Event("change", { bubbles: true }));
  };

  let held = null;
  const timestep = (event) => {
    const box = held.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 640;
    const longest = Number(held.svg.dataset.longest);
    return Math.round(Math.min(1, Math.max(0, (x - 46) / (640 - 46 - 24))) * longest);
  };
  document.addEventListener("pointerdown", (event) => {
    const mark = event.target.closest?.("[data-mark]");
    if (!mark) return;
    held = { name: mark.dataset.mark, svg: mark.closest("svg") };
    event.preventDefault();
  });
  document.addEventListener("pointermove", (event) => {
    if (!held) return;
    const mark = document.querySelector(`#curves [data-mark=${held.name}]`);
    held.svg = mark?.closest("svg") ?? held.svg;
    const t = timestep(event);
    const longest = Number(held.svg.dataset.longest);
    mark?.setAttribute("transform", `translate(${46 + ((640 - 46 - 24) * t) / longest},0)`);
    held.t = t;
  });
  document.addEventListener("pointerup", () => {
    if (held?.t !== undefined) setSlider(held.name, held.t, true);
    held = null;
  });

  // A ballot: one face at a time; what is answered stays in this page until it is saved.
  const vote = (ballot, word) => {
    const faces = [...ballot.querySelectorAll("li")];
    const left = faces.filter((face) => !face.dataset.answer);
    if (!left.length) return;
    left[0].dataset.answer = left[0].dataset[word] ?? word;
    const next = Math.min(faces.length, faces.length - left.length + 2);
    ballot.querySelector(".count").textContent = `${next} of ${faces.length}`;
    if (left.length > 1) return;
    const record = JSON.parse(ballot.dataset.record), counts = {};
    record.answers = faces.map(({ dataset }) => ({ ...dataset, face: Number(dataset.face) }));
    for (const one of record.answers) counts[one.answer] = (counts[one.answer] ?? 0) + 1;
    const named = Object.entries(counts).map(([answer, count]) =>
      `${record.methods[answer]?.title ?? answer}: ${count}`);
    const outcome = ballot.querySelector(".outcome"), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(record, null, 1)],
      { type: "application/json" }));
    link.download = "answers.json";
    link.textContent = "Save the answers";
    outcome.textContent = `${named.join(", ")}. `;
    outcome.append(link);
    ballot.classList.add("over");
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-vote]");
    if (button) vote(button.closest(".ballot"), button.dataset.vote);
  });
  const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "neither",
    g: "good", b: "bad", u: "unsure" };
  document.addEventListener("keydown", (event) => {
    const ballot = document.querySelector(".ballot"), word = KEYS[event.key];
    if (!word || !ballot?.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, textarea, select, [role=tab], [role=listbox]")) return;
    if (!ballot.querySelector(`[data-vote=${word}]`)) return;
    event.preventDefault();
    vote(ballot, word);
  });

  // Lines for the user are read out; Gradio makes their places without saying so.
  const announce = () => {
    for (const id of ["edit-message", "train-message", "discover-message", "compare-message"]) {
      const place = document.querySelector(`#${id} .html-container`);
      if (place && !place.hasAttribute("aria-live")) {
        place.setAttribute("role", "status");
        place.setAttribute("aria-live", "polite");
      }
    }
  };
  new MutationObserver(announce).observe(root, { childList: true, subtree: true });
})();
