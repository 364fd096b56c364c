// Runs before the page is drawn: what is drawn for those without scripts is then not shown first.
document.documentElement.classList.add('js');
