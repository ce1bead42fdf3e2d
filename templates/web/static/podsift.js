// Plays from a second without leaving the page. Without this script the same links open the publisher's audio there.
"use strict";
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-seek]");
  const player = document.querySelector("audio");
  if (!link || !player || event.ctrlKey || event.metaKey || event.shiftKey) return;
  // Another episode's second, as in search results, is another file.
  if (link.href.split("#")[0] !== player.src.split("#")[0]) return;
  event.preventDefault();
  const second = Number(link.dataset.seek);
  const go = () => {
    player.currentTime = second;
    player.play().catch(() => {});
  };
  if (player.readyState >= 1) {
    go();
  } else {
    player.addEventListener("loadedmetadata", go, { once: true });
    player.load();
  }
  player.focus({ preventScroll: true });
});
