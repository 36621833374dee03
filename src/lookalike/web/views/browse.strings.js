// The words of `browse.js`, `newest.js`, `projects.js` and `duplicates.js`.

export const en = {
  newest: "Newest",
  duplicates: "Duplicates",
  atLeast: "The newest {n} pictures",
  noPictures: "There is no picture here.",
  nProjects: ["{n} project", "{n} projects"],
  comparing: "Comparing every picture with every other …",
  compared: "{percent} compared",
  noDuplicates: "No picture is here twice",
  nGroups: ["{n} picture is here more than once", "{n} pictures are here more than once"],
  exact: "Same file",
  near: "Looks the same",
  sameBytes: "Their bytes are equal.",
  nearlySame: "Their similarity is {similarity}; from {least} on pictures are taken for the same, saved again.",
  times: "{n} times",
  notShown: "{n} more are not shown.",
  more: "Show more",
};

export const he = {
  newest: "החדשות",
  duplicates: "כפילויות",
  atLeast: "{n} התמונות החדשות ביותר",
  noPictures: "אין כאן תמונות.",
  nProjects: ["פרויקט אחד", "{n} פרויקטים"],
  comparing: "משווה כל תמונה לכל האחרות …",
  compared: "הושוו {percent}",
  noDuplicates: "אף תמונה אינה מופיעה פעמיים",
  nGroups: ["תמונה אחת מופיעה יותר מפעם אחת", "{n} תמונות מופיעות יותר מפעם אחת"],
  exact: "אותו קובץ",
  near: "נראות זהות",
  sameBytes: "הבתים שלהן זהים.",
  nearlySame: "הדמיון ביניהן {similarity}; מ־{least} ומעלה תמונות נחשבות לאותה תמונה שנשמרה שוב.",
  times: "{n} פעמים",
  notShown: "עוד {n} אינן מוצגות.",
  more: "הצגת עוד",
};
