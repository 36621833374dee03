// The words of `lightbox.js`.

export const en = {
  previous: "Previous picture",
  next: "Next picture",
  close: "Close",
  toward: "Add to search",
  away: "Less like this",
  confidence: "Confidence",
  similarity: "Similarity",
  path: "Path",
  content: "sha256",
  twins: "Same picture also at",
  original: "Original",
  save: "Save the file",
  gone: "This picture cannot be shown.",
};

export const he = {
  previous: "התמונה הקודמת",
  next: "התמונה הבאה",
  close: "סגירה",
  toward: "הוספה לחיפוש",
  away: "פחות כמו זו",
  confidence: "ביטחון",
  similarity: "דמיון",
  path: "נתיב",
  content: "sha256",
  twins: "אותה תמונה גם ב־",
  original: "המקור",
  save: "שמירת הקובץ",
  gone: "לא ניתן להציג את התמונה.",
};
