const boxes=[...document.querySelectorAll('input')];
const show=()=>{const on=boxes.find(b=>b.checked).value;
for(const row of document.querySelectorAll('tbody tr'))
row.hidden=on!='all'&&!(row.dataset.worst==on||on=='any'&&row.dataset.worst!='none')};
boxes.forEach(b=>b.addEventListener('change',show));
