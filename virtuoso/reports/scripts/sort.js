// Tables whose heads sort them: numbers by `data-value`, words by what stands in the cell; what is not known comes last.
'use strict';
document.querySelectorAll('table.sortable').forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const sort = (column, way) => {
    const keyed = [...body.rows].map((row) => [keyOf(row, column), row]);
    keyed.sort(([a], [b]) => {
      const unknown = Number(Number.isNaN(a)) - Number(Number.isNaN(b));
      return unknown || way * (a < b ? -1 : a > b ? 1 : 0);
    });
    body.append(...keyed.map(([, row]) => row));
    heads.forEach((head, k) => head.setAttribute('aria-sort', k !== column ? 'none' : way < 0 ? 'descending' : 'ascending'));
  };
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'head';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => sort(column, head.getAttribute('aria-sort') === 'descending' ? 1 : -1));
  });
});
document.documentElement.dataset.ready = 'yes';
