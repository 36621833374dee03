// The words of `map.js`.

export const en = {
  theMap: "Map",
  clusters: "Clusters",
  mapLabel: "Map of the pictures: drag or use the arrows to move, plus and minus to zoom, Enter opens the picture in the middle, 0 shows everything",
  making: "The map is being made: {percent}",
  renewing: "It is being made anew: {percent}",
  nClusters: ["{n} cluster", "{n} clusters"],
  mapDrawn: "{n} of {all} pictures, drawn evenly",
  noMap: "There is nothing to show yet",
  noMapWhy: "Pictures appear here once they are indexed.",
  mapFailed: "There is no map",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  zoomAll: "Show everything",
  inMiddle: "In the middle: {name}",
  onMap: "Show on the map",
};

export const he = {
  theMap: "מפה",
  clusters: "קבוצות",
  mapLabel: "מפת התמונות: גררו או השתמשו בחיצים כדי לזוז, פלוס ומינוס לתקריב, Enter פותח את התמונה שבאמצע, 0 מציג הכול",
  making: "המפה בהכנה: {percent}",
  renewing: "המפה מתחדשת: {percent}",
  nClusters: ["קבוצה אחת", "{n} קבוצות"],
  mapDrawn: "{n} מתוך {all} תמונות, במדגם אחיד",
  noMap: "אין עדיין מה להציג",
  noMapWhy: "תמונות יופיעו כאן לאחר שיתווספו לאינדקס.",
  mapFailed: "אין מפה",
  zoomIn: "התקרבות",
  zoomOut: "התרחקות",
  zoomAll: "הצגת הכול",
  inMiddle: "באמצע: {name}",
  onMap: "הצגה במפה",
};
