"use strict";
const CHUNK = 60;
const at = (id) => document.getElementById(id);
const [grid, search, model, sort] = ["grid", "search", "model", "sort"].map(at);
const read = () => JSON.parse(at("takes").textContent).map((take) => {
  const about = JSON.parse(take.request);
  const date = new Date(take.made * 1000).toISOString().slice(0, 16).replace("T", " ");
  const words = [about.prompt, about.model, about.seed, date].join(" ").toLowerCase();
  return { ...take, about, date, words };
});
const kept = (() => {
  const name = "wan-alpha-stars";
  let stars = new Set();
  // A page from a file may be refused a memory; its stars last until it is closed then.
  try { stars = new Set(JSON.parse(localStorage.getItem(name) || "[]")); } catch { /* none kept */ }
  return {
    has: (key) => stars.has(key),
    flip(key) {
      if (!stars.delete(key)) stars.add(key);
      try { localStorage.setItem(name, JSON.stringify([...stars])); } catch { /* as above */ }
    },
  };
})();
let takes = [];
let shown = [];
let drawn = 0;
let picked = [];

const element = (tag, props = {}, ...inner) => {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...inner);
  return made;
};
const parameter = (text) => {
  const bytes = new TextEncoder().encode(text);
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
};
const copy = async (text) => {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const picture = (take, plays) => {
  const image = element("img", { src: take.still, alt: take.about.prompt, decoding: "async", loading: "lazy" });
  const box = element("div", { className: "picture" }, image);
  const play = () => {
    if (!take.moving) return;
    const ahead = new Image();
    // The still stays until the other is there, and where it is not.
    ahead.onload = () => { image.src = take.moving; };
    ahead.src = take.moving;
    box.wants = true;
  };
  if (plays) play();
  else {
    box.addEventListener("pointerenter", play);
    box.addEventListener("pointerleave", () => { image.src = take.still; });
  }
  return box;
};
const button = (text, pressed, act, className = "") => {
  const made = element("button", { type: "button", textContent: text, className });
  if (pressed !== null) made.setAttribute("aria-pressed", pressed);
  made.addEventListener("click", () => act(made));
  return made;
};
const pick = (take, made) => {
  const place = picked.findIndex((one) => one.take === take);
  if (place >= 0) picked.splice(place, 1);
  else picked.push({ take, made });
  made.setAttribute("aria-pressed", place < 0);
  made.closest("article").classList.toggle("picked", place < 0);
  if (picked.length === 2) {
    at("pair").replaceChildren(...picked.map(({ take: one }) =>
      element("div", {}, picture(one, true), words(one))));
    at("compare").showModal();
  }
};
const words = (take) => {
  const { about } = take;
  const size = `${about.width}×${about.height}×${about.frames}`;
  const cover = take.coverage == null ? "" : `, covers ${(take.coverage * 100).toFixed(1)} %`;
  const facts = `${about.model}, seed ${about.seed}, ${size}, ${about.steps} steps${cover}`;
  const warned = take.warnings.map((text) => element("p", { className: "facts warned", textContent: text }));
  return element("div", { className: "words" },
    element("p", { className: "prompt", textContent: about.prompt, title: about.prompt }),
    element("p", { className: "facts", textContent: facts }),
    element("p", { className: "facts", textContent: `${take.date}, ${take.key.slice(0, 12)}` }), ...warned);
};
const card = (take) => element("article", {}, picture(take, false), words(take),
  element("div", { className: "tools" },
    button("★", kept.has(take.key), (made) => {
      kept.flip(take.key);
      made.setAttribute("aria-pressed", kept.has(take.key));
    }, "star"),
    button("Compare", false, (made) => pick(take, made), "pick"),
    button("Copy recipe", null, async (made) => {
      await copy(parameter(take.request));
      made.textContent = "Copied";
      setTimeout(() => { made.textContent = "Copy recipe"; }, 1200);
    }, "copy")));
const more = () => {
  const next = shown.slice(drawn, drawn + CHUNK);
  drawn += next.length;
  grid.append(...next.map(card));
};
const ORDERS = {
  newest: (a, b) => b.made - a.made,
  oldest: (a, b) => a.made - b.made,
  prompt: (a, b) => a.about.prompt.localeCompare(b.about.prompt),
  seed: (a, b) => a.about.seed - b.about.seed,
  coverage: (a, b) => (b.coverage ?? -1) - (a.coverage ?? -1),
};
const draw = () => {
  const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = takes.filter((take) => asked.every((word) => take.words.includes(word)
    || (word.length > 3 && take.key.startsWith(word)))
    && (!model.value || take.about.model === model.value)
    && (!at("starred").checked || kept.has(take.key))
    && (!at("warned").checked || take.warnings.length > 0));
  shown.sort(ORDERS[sort.value]);
  at("count").textContent = `${shown.length} of ${takes.length}`;
  [drawn, picked] = [0, []];
  grid.replaceChildren();
  more();
};
const ground = () => {
  document.documentElement.style.setProperty("--ground", at("ground").value);
  document.body.classList.toggle("checker", at("checker").checked);
};
const end = () => {
  picked.forEach(({ made }) => {
    made.setAttribute("aria-pressed", false);
    made.closest("article")?.classList.remove("picked");
  });
  picked = [];
};
ground();
// The head of the page is painted first.
requestAnimationFrame(() => setTimeout(() => {
  takes = read();
  const models = [...new Set(takes.map((take) => take.about.model))].sort();
  model.append(...models.map((name) => element("option", { value: name, textContent: name })));
  draw();
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) more();
  }, { rootMargin: "800px" }).observe(at("more"));
  let wait = 0;
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(draw, 80); });
  [model, sort, at("starred"), at("warned")].forEach((one) => one.addEventListener("change", draw));
  [at("ground"), at("checker")].forEach((one) => one.addEventListener("input", ground));
  at("close").addEventListener("click", () => at("compare").close());
  at("compare").addEventListener("close", end);
  document.documentElement.dataset.ready = "true";
}));
