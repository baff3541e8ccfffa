const table = document.getElementById("clips");
const body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];
const key = (row, column) => {
  const value = row.cells[column].dataset.value;
  return value === undefined || value === "" ? null : isNaN(value) ? value : Number(value);
};
heads.forEach((head, column) => {
  head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" && typeof y === "number"
        ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    body.append(...rows);
  });
});
const grounds = [...document.querySelectorAll("input[name=ground]")];
const strips = [...document.querySelectorAll(".strips")];
strips.forEach((place) => { place.first = place.firstElementChild; });
const draw = () => strips.forEach((place) => {
  const shown = grounds.filter((input) => input.checked).map((input) => {
    const strip = place.first.cloneNode(true);
    strip.className = "strip " + input.value;
    return strip;
  });
  place.replaceChildren(...shown);
});
grounds.forEach((input) => input.addEventListener("change", draw));
draw();
