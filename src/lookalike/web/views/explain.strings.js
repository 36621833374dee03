// The words of `explain.js`.

export const en = {
  why: "Why this picture?",
  whyLess: "Hide why",
  brings: "What each word brings",
  without: "“{word}”: {effect} of confidence; without it {percent}",
  shares: "What each part brings",
  partAlone: "{name}: {share} of the similarity; alone {percent}",
  nearTo: "What it is near to",
  where: "Show where",
  whereLess: "Hide where",
  looking: "Looking …",
  whereNote: "Where the likeness is lost when the picture is covered. A hint: the model itself gives no reasons.",
  noWhere: "Nowhere in particular.",
};

export const he = {
  why: "למה התמונה הזאת?",
  whyLess: "הסתרת הסיבות",
  brings: "מה כל מילה מוסיפה",
  without: "“{word}”: {effect} בביטחון; בלעדיה {percent}",
  shares: "מה כל חלק מוסיף",
  partAlone: "{name}: {share} מהדמיון; לבדו {percent}",
  nearTo: "למה היא קרובה",
  where: "איפה בתמונה",
  whereLess: "הסתרת המקומות",
  looking: "מחפש …",
  whereNote: "היכן הדמיון אובד כשמכסים את התמונה. זהו רמז בלבד: המודל עצמו אינו נותן סיבות.",
  noWhere: "אין מקום מסוים.",
};
