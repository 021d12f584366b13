// How values are written.

const units = ["B", "KB", "MB", "GB", "TB"];

export function bytes(count) {
  if (count === null || count === undefined) return null;
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) [count, unit] = [count / 1000, unit + 1];
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return null;
  if (ms < 1000) return `${Math.max(Math.round(ms), 0)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

export const number = (value) => (value === null || value === undefined ? null : value.toLocaleString("en"));
export const rate = (perSecond) =>
  perSecond === null ? null : `${number(perSecond < 10 ? Number(perSecond.toFixed(1)) : Math.round(perSecond))}/s`;
export const percent = (value) => (value === null ? null : `${value} %`);
