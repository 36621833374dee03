// Every word of the page. {name} is replaced; a value of two texts is [one, other].

const en = {
  language: "עברית",
  search: "Search pictures",
  views: "Views",
  find: "Search",
  browse: "Browse",
  map: "Map",
  add: "Add",
  status: "Status",
  reload: "This part of the page did not load: reload the page.",
  placeholder: "Describe a picture, or drop one here",
  parts: "What is searched for",
  plus: "Add these words to the search",
  minus: "Search away from these words",
  clear: "Clear the search",
  picture: "Search by a picture",
  drop: "Drop a picture to find what looks like it",
  filters: "Filters",
  project: "Project",
  allProjects: "All projects",
  byProject: "Projects",
  space: "Space",
  least: "Confidence from",
  copy: "Copy link",
  copied: "Link copied.",
  notCopied: "Take the link from the address bar.",
  noLink: "The picture fits into no link: it has only the rest of the search.",
  results: "Pictures",
  all: "Select all",
  none: "Clear the selection",
  selection: "Selected pictures",
  selected: "{n} selected",
  select: "Select",
  similar: "More like this",
  searching: "Searching …",
  holds: ["{n} picture", "{n} pictures"],
  found: "{n} of {all} pictures",
  foundBest: "{n} of the {best} nearest pictures of {all}",
  nothing: "Nothing here matches",
  closest: "The nearest picture reaches {percent}.",
  showAll: "Show what is less sure",
  noItems: "No picture passes these filters.",
  unfilter: "Remove the filters",
  narrow: "Filter",
  nothingToChoose: "These pictures have nothing to choose by.",
  anyOf: "{name}: any",
  factType: "Type",
  factDay: "Taken on",
  factMonth: "Month",
  factYear: "Year",
  noIndex: "There is no index yet",
  noIndexWhy: "Make one on the service's machine, and this page will show it:",
  failed: "That did not work",
  waiting: "The service does not answer. Trying again …",
  keyTitle: "This service asks for an API key",
  key: "API key",
  keySend: "Continue",
  keyKept: "It is kept until this tab is closed.",
  keyLetters: "A key has Latin letters, digits and signs alone.",
  sign: "Toward or away",
  weight: "Weight",
  remove: "Remove {what}",
  aPicture: "a picture",
  named: "{name}, confidence {percent}",
  zipping: "Reading {n} pictures …",
  zipMissing: "{n} could not be read: see missing.txt.",
  zipMost: "A ZIP has room for {n} pictures: select fewer.",
};

const he = {
  language: "English",
  search: "חיפוש תמונות",
  views: "תצוגות",
  find: "חיפוש",
  browse: "עיון",
  map: "מפה",
  add: "הוספה",
  status: "מצב",
  reload: "חלק זה של הדף לא נטען: טענו את הדף מחדש.",
  placeholder: "תארו תמונה, או גררו אחת לכאן",
  parts: "מה מחפשים",
  plus: "הוספת המילים לחיפוש",
  minus: "התרחקות מהמילים האלה",
  clear: "ניקוי החיפוש",
  picture: "חיפוש לפי תמונה",
  drop: "שחררו תמונה כדי למצוא דומות לה",
  filters: "מסננים",
  project: "פרויקט",
  allProjects: "כל הפרויקטים",
  byProject: "פרויקטים",
  space: "מרחב",
  least: "ביטחון מ־",
  copy: "העתקת קישור",
  copied: "הקישור הועתק.",
  notCopied: "קחו את הקישור משורת הכתובת.",
  noLink: "התמונה אינה נכנסת לקישור: יש בו רק את שאר החיפוש.",
  results: "תמונות",
  all: "בחירת הכול",
  none: "ביטול הבחירה",
  selection: "תמונות נבחרות",
  selected: "נבחרו {n}",
  select: "בחירה",
  similar: "עוד כמו זו",
  searching: "מחפש …",
  holds: ["תמונה אחת", "{n} תמונות"],
  found: "{n} מתוך {all} תמונות",
  foundBest: "{n} מתוך {best} התמונות הקרובות מבין {all}",
  nothing: "אין כאן התאמה",
  closest: "התמונה הקרובה ביותר מגיעה ל־{percent}.",
  showAll: "הצגת הפחות בטוחות",
  noItems: "אף תמונה אינה עוברת את המסננים.",
  unfilter: "הסרת המסננים",
  narrow: "סינון",
  nothingToChoose: "אין לפי מה לסנן את התמונות האלה.",
  anyOf: "{name}: הכול",
  factType: "סוג",
  factDay: "צולם ביום",
  factMonth: "חודש",
  factYear: "שנה",
  noIndex: "אין עדיין אינדקס",
  noIndexWhy: "צרו אחד במחשב של השירות, והדף יציג אותו:",
  failed: "זה לא הצליח",
  waiting: "השירות אינו עונה. מנסה שוב …",
  keyTitle: "השירות מבקש מפתח API",
  key: "מפתח API",
  keySend: "המשך",
  keyKept: "המפתח נשמר עד לסגירת הלשונית.",
  keyLetters: "במפתח רק אותיות לטיניות, ספרות וסימנים.",
  sign: "לקראת או הרחק",
  weight: "משקל",
  remove: "הסרת {what}",
  aPicture: "תמונה",
  named: "{name}, ביטחון {percent}",
  zipping: "קורא {n} תמונות …",
  zipMissing: "{n} לא נקראו: ראו missing.txt.",
  zipMost: "בקובץ ZIP יש מקום ל־{n} תמונות: בחרו פחות.",
};

const LANGUAGES = { en, he };
let language = "en";

export const number = (n) => new Intl.NumberFormat(language).format(n);
export const percent = (x, digits = 0) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(x);
export const locale = () => language;

/** Take in the texts of a view that was loaded now, by language. */
export function learn(words) {
  for (const name in LANGUAGES) Object.assign(LANGUAGES[name], words[name]);
  label();
}

/** The text of this name in the page's language; of a pair the one that goes with `n`. */
export function t(name, values = {}) {
  let text = LANGUAGES[language][name] ?? ""; // of what is loaded later
  if (Array.isArray(text)) text = text[values.n === 1 ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, key) => (typeof values[key] === "number" ? number(values[key]) : values[key]));
}

/** Say everything in this language, or in the one that was chosen before, or in the browser's. */
export function speak(chosen) {
  if (chosen) localStorage.language = chosen;
  const wanted = [localStorage.language, ...navigator.languages.map((name) => name.slice(0, 2))];
  language = wanted.find((name) => name in LANGUAGES) ?? "en";
  document.documentElement.lang = language;
  document.documentElement.dir = language === "he" ? "rtl" : "ltr";
  label();
}

function label() {
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = t(node.dataset.placeholder);
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
    if (node.matches("button")) node.title = t(node.dataset.label);
  }
}

/** The language to change to. */
export const otherLanguage = () => (language === "en" ? "he" : "en");
