// Before anything is painted, so that no page flashes in the other theme.
try {
  const theme = localStorage.getItem("flagmart.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // a browser may keep nothing of a page that is opened from disk
}
