// Tables that change in place: a row stays the same element as long as what it shows is there, and
// a cell is written only when its text differs. All text is set as text, never as HTML.

export class Table {
  constructor(section, columns, key, nothing) {
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.count = section.querySelector(".count");
    this.begun = false;

    this.nothing = element("p", "nothing", nothing);
    this.table = element("table");
    this.table.setAttribute("role", "table");
    this.table.setAttribute("aria-labelledby", section.getAttribute("aria-labelledby"));
    this.table.createTHead().append(this.head());
    this.body = this.table.createTBody();
    this.body.setAttribute("role", "rowgroup");

    this.scroll = element("div", "scroll");
    this.scroll.append(this.table);
    section.append(this.nothing, this.scroll);
    this.show(0);
  }

  head() {
    const row = element("tr");
    row.setAttribute("role", "row");
    for (const column of this.columns) {
      const cell = element("th", column.kind ?? "", column.label);
      cell.scope = "col";
      cell.setAttribute("role", "columnheader");
      row.append(cell);
    }
    return row;
  }

  update(items, count = items.length) {
    const gone = new Set(this.rows.keys());
    let place = this.body.firstChild;

    for (const item of items) {
      const key = this.key(item);
      gone.delete(key);
      let row = this.rows.get(key);
      if (row === undefined) this.rows.set(key, (row = this.row()));
      if (row === place) place = place.nextSibling;
      else this.body.insertBefore(row, place);
      this.columns.forEach((column, index) => fill(row.cells[index], column, item));
    }

    for (const key of gone) {
      this.rows.get(key).remove();
      this.rows.delete(key);
    }
    this.begun = true;
    this.show(items.length, count);
  }

  row() {
    const row = element("tr", this.begun ? "new" : "");
    row.setAttribute("role", "row");
    for (const column of this.columns) {
      const cell = element("td", column.kind ?? "");
      cell.dataset.label = column.label;
      cell.setAttribute("role", "cell");
      row.append(cell);
    }
    return row;
  }

  show(rows, count = rows) {
    write(this.count, count === 0 ? "" : String(count));
    this.nothing.hidden = rows > 0;
    this.scroll.hidden = rows === 0;
  }
}

export function element(name, classes = "", text = "") {
  const made = document.createElement(name);
  if (classes !== "") made.className = classes;
  if (text !== "") made.textContent = text;
  return made;
}

export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function fill(cell, column, item) {
  if (column.button) return button(cell, column, item);
  const value = column.value(item);
  const text = value === null || value === undefined ? "" : String(value);
  if (column.tone) return badge(cell, text, column.tone(item));
  if (column.part) return bar(cell, text, column.part(item));
  write(cell, text);
  const title = column.title?.(item) ?? "";
  if (cell.title !== title) cell.title = title;
}

function badge(cell, text, tone) {
  const inner = child(cell, "badge", text);
  if (text !== "" && inner.dataset.tone !== tone) inner.dataset.tone = tone;
}

function bar(cell, text, part) {
  const inner = child(cell, "bar", text);
  if (text !== "") inner.style.setProperty("--part", `${Math.round(100 * Math.min(part, 1))}%`);
}

// An empty cell has no child, so that it takes no room on a phone.
function child(cell, name, text) {
  if (text === "") {
    cell.replaceChildren();
    return null;
  }
  let inner = cell.firstElementChild;
  if (inner === null) cell.append((inner = element("span", name)));
  write(inner, text);
  return inner;
}

function button(cell, column, item) {
  let inner = cell.firstElementChild;
  if (inner === null) {
    inner = element("button", "", column.button);
    inner.type = "button";
    cell.append(inner);
  }
  const label = column.describe(item);
  if (inner.getAttribute("aria-label") !== label) inner.setAttribute("aria-label", label);
  inner.onclick = () => column.press(item, inner);
}
