"use strict";
// The page works without any of this: headings then do not sort, and every take has its player.

// --- tables: a heading sorts its column, and again the other way round

const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);

function sort(table, heading) {
  const column = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const value = (row) => {
    const text = row.cells[column].dataset.value;
    return "text" in heading.dataset ? text : parseFloat(text);
  };
  // What has no value stays last, whichever way round.
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return ascending ? compare(x, y) : compare(y, x);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading));
    heading.append(button);
  }
}

// --- examples: one player at a time, at one place in the recording

let current = null; // the example that keys go to

function setUp(article) {
  const takes = [...article.querySelectorAll(".take")];
  const players = takes.map((take) => take.querySelector("audio"));
  const radios = [...article.querySelectorAll(".switch input")];
  const example = { chosen: 0, choose, toggle, pause, article };

  function choose(index) {
    if (index === example.chosen || !takes[index]) return;
    const [before, after] = [players[example.chosen], players[index]];
    takes[example.chosen].classList.remove("chosen");
    takes[index].classList.add("chosen");
    radios[index].checked = true;
    // Arrow keys go on from the radio button that has the focus.
    if (radios.includes(document.activeElement)) radios[index].focus();
    example.chosen = index;
    if (!after) return before && before.pause();
    const playing = Boolean(before) && !before.paused && !before.ended;
    const place = before && !before.ended ? before.currentTime : 0;
    after.volume = before ? before.volume : 1;
    after.muted = Boolean(before) && before.muted;
    goTo(after, place);
    if (before) before.pause();
    if (playing) after.play();
  }

  function goTo(player, place) {
    if (player.readyState > 0) {
      player.currentTime = place;
      return;
    }
    // A second choice before the first was ready takes its place.
    player.onloadedmetadata = () => (player.currentTime = place);
    player.load();
  }

  function pause() {
    for (const player of players) if (player) player.pause();
  }

  function toggle() {
    const player = players[example.chosen];
    if (player && player.paused) player.play();
    else if (player) player.pause();
  }

  function take() {
    if (current && current !== example) current.pause();
    current = example;
  }

  radios.forEach((radio, index) => radio.addEventListener("change", () => (take(), choose(index))));
  for (const player of players.filter(Boolean)) {
    player.addEventListener("play", take);
    // The others are made ready once someone listens, so that a switch is heard at once.
    const ready = () => players.filter(Boolean).forEach((other) => (other.preload = "auto"));
    player.addEventListener("play", ready, { once: true });
  }
  article.addEventListener("focusin", () => { if (!current || current.article !== article) take(); });
  // Only one take is seen at a time, and the recording beside it.
  const pictures = takes.map((take) => take.querySelector(".pictures"));
  for (const others of pictures.slice(1)) others.prepend(pictures[0].firstElementChild.cloneNode(true));
  article.querySelector(".switch").hidden = false;
  article.classList.add("switched");
  takes[0].classList.add("chosen");
  radios[0].checked = true;
  return example;
}

const examples = [...document.querySelectorAll(".example")].map(setUp);
for (const note of document.querySelectorAll(".keys")) note.hidden = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !examples.length) return;
  const inside = event.target.closest(".example");
  const example = current || examples[0];
  if (/^[1-9]$/.test(event.key)) {
    current = example;
    example.choose(Number(event.key) - 1);
    event.preventDefault();
  } else if (event.key === " " && inside && !event.target.closest("audio")) {
    // Elsewhere the space bar scrolls the page; a player with the focus knows it by itself.
    example.toggle();
    event.preventDefault();
  }
});
