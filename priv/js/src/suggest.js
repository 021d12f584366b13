// Did you mean …?

const MOST = 10;

/**
 * The known name that looks most like `name`.
 *
 * @param {string} name
 * @param {Iterable<string>} known
 * @returns {string | undefined}
 */
export function closest(name, known) {
  let best;
  let least = Math.min(name.length, Math.max(2, Math.floor(name.length * 0.4)) + 1);
  for (const candidate of known) {
    const far = distance(name, candidate, least);
    if (far < least) [best, least] = [candidate, far];
  }
  return best;
}

/**
 * The end of a message about an unknown name: what it may have meant, or what there is.
 *
 * @param {string} name
 * @param {Iterable<string>} known
 * @param {string} kind
 */
export function hint(name, known, kind) {
  const names = [...known].sort();
  const match = closest(name, names);
  if (match !== undefined) return `, did you mean '${match}'?`;
  if (names.length === 0) return `; there are no ${kind}`;
  const rest = names.length > MOST ? ` and ${names.length - MOST} more` : "";
  return `; ${kind}: ${names.slice(0, MOST).join(", ")}${rest}`;
}

/**
 * Letters to change, add or leave out; `most` if that many or more.
 *
 * @param {string} a
 * @param {string} b
 * @param {number} most
 */
function distance(a, b, most) {
  if (Math.abs(a.length - b.length) >= most) return most;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return Math.min(row[b.length], most);
}
