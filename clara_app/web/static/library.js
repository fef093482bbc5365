// The library: a list that is searched on the server, and what can be done with the pieces that are selected.
import { connectStar, describeFacts, describePiece, makeArticle } from "/static/article.js";
import { fetchJson, postJson } from "/static/connection.js";

const byId = id => document.getElementById(id);
const PAGE_SIZE = 50;
const TYPING_PAUSE_MS = 150;

export class Library {
  constructor(actions) {
    this.actions = actions;
    this.rows = [];
    this.selected = new Set(); // ids, in the order in which they were selected
    this.nSearches = 0;
    let typing = null;
    const search = () => this.search().catch(actions.onError);
    byId("words").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING_PAUSE_MS);
    });
    for (const id of ["kind", "order", "only-starred", "every"]) byId(id).addEventListener("change", search);
    byId("more").addEventListener("click", () => this.search(this.rows.length).catch(actions.onError));
    byId("compare").addEventListener("click", () => this.compare().catch(actions.onError));
    byId("delete").addEventListener("click", () => this.delete().catch(actions.onError));
    byId("undo").addEventListener("click", () => this.undo().catch(actions.onError));
    for (const kind of ["html", "zip"]) byId(`export-${kind}`).addEventListener("click", () => this.export(kind));
  }

  async search(offset = 0) {
    const thisSearch = ++this.nSearches;
    const found = await postJson("/library/search", {
      words: byId("words").value,
      order: byId("order").value,
      starred: byId("only-starred").checked,
      every: byId("every").checked,
      beginnings: byId("kind").value === "beginnings",
      offset,
      limit: PAGE_SIZE,
    });
    if (thisSearch !== this.nSearches) return;
    const rows = found.pieces.map(({ facts, ...row }) => ({ ...facts, ...row }));
    const items = rows.map(piece => this.makeRow(piece));
    if (offset) {
      this.rows.push(...rows);
      byId("rows").append(...items);
    } else {
      this.rows = rows;
      byId("rows").replaceChildren(...items);
      this.selected.clear();
    }
    byId("more").hidden = this.rows.length >= found.n_found;
    const kind = byId("kind").value.slice(0, -1);
    const count = `${found.n_found.toLocaleString("en")} ${kind}${found.n_found === 1 ? "" : "s"}`;
    byId("library-status").textContent = found.n_found ? count : `No ${kind} is found.`;
    this.showSelected();
  }

  makeRow(piece) {
    const item = byId("row").content.cloneNode(true).firstElementChild;
    const find = selector => item.querySelector(selector);
    const name = describePiece(piece);
    item.dataset.id = piece.id;
    const made = new Date(piece.made * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    find(".facts").textContent = [describeFacts(piece), piece.verdicts[0], made].filter(Boolean).join(" · ");
    find(".open").textContent = name;
    find(".open").addEventListener("click", () => this.toggle(item, piece).catch(this.actions.onError));
    find(".select").setAttribute("aria-label", `Select ${name}, ${made}`);
    find(".select").addEventListener("change", event => {
      if (event.target.checked) this.selected.add(piece.id);
      else this.selected.delete(piece.id);
      this.showSelected();
    });
    connectStar(find(".star"), piece, name, this.actions.onError);
    return item;
  }

  async toggle(item, piece) {
    const isOpen = item.children.length > 1;
    item.querySelector(".open").setAttribute("aria-expanded", !isOpen);
    if (isOpen) item.lastElementChild.remove();
    else await this.show(item, piece.id);
  }

  async show(parent, id) {
    const article = makeArticle(await fetchJson(`/cards/${id}`), this.actions);
    parent.append(article);
    article.draw();
  }

  showSelected() {
    const n = this.selected.size;
    byId("n-selected").textContent = n ? `${n} selected` : "none selected";
    byId("compare").disabled = n !== 2;
    for (const id of ["export-html", "export-zip", "delete"]) byId(id).disabled = !n;
  }

  async compare() {
    byId("compared").replaceChildren();
    const cards = await Promise.all([...this.selected].map(id => fetchJson(`/cards/${id}`)));
    const articles = cards.map(card => makeArticle(card, this.actions));
    byId("compared").append(...articles);
    for (const article of articles) article.draw(); // in the width that both leave each other
    byId("compared").scrollIntoView({ block: "nearest" });
  }

  export(kind) {
    byId("library-status").textContent = "The file is made; the download starts by itself.";
    const ids = [...this.selected].join(",");
    Object.assign(document.createElement("a"), { href: `/library/export.${kind}?ids=${ids}`, download: "" }).click();
  }

  async delete() {
    this.deleted = [...this.selected];
    await postJson("/library/delete", { ids: this.deleted });
    byId("compared").replaceChildren();
    await this.search();
    byId("undo").hidden = false;
    byId("library-status").textContent = `${this.deleted.length} deleted.`;
  }

  async undo() {
    await postJson("/library/delete", { ids: this.deleted, undo: true });
    byId("undo").hidden = true;
    await this.search();
  }
}
