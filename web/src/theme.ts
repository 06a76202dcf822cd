// Loaded before anything is drawn, so that a chosen theme does not flash the other one.
try {
  const theme = localStorage.getItem('hadal.theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // The system's theme stays.
}
