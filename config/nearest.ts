/** The one of `names` that was probably intended by `text`: with a typing error, or a word too many or too few. */
export function nearest(text: string, names: readonly string[]): string | undefined {
  const wanted = simplify(text)
  const [best] = names
    .map((name) => ({ name, distance: distance(wanted, simplify(name)) }))
    .filter((candidate) => candidate.distance <= Math.max(2, Math.floor(wanted.length / 5)))
    .sort((a, b) => a.distance - b.distance)
  return best?.name ?? names.find((name) => sharesWords(text, name))
}

/** Whether two long names differ by a letter or two: `SESION_KEYS`, `KEEPALIVE_TIMEOUT`. */
export function isMisspelt(name: string, known: string): boolean {
  const [a, b] = [simplify(name), simplify(known)]
  return b.length >= minLength && a.length >= minLength && distance(a, b) <= 2
}

/** Shorter names are similar by chance. */
const minLength = 10

/** Case, `_`, `-` and `.` make no difference between names of options. */
export function simplify(name: string): string {
  return name.replace(/[_.-]/g, '').toUpperCase()
}

/** Whether one name has all words of the other, at least two. */
function sharesWords(a: string, b: string): boolean {
  const [fewer = [], more = []] = [a, b].map((name) => name.split('_')).sort((x, y) => x.length - y.length)
  return fewer.length > 1 && fewer.every((word) => more.includes(word))
}

/** Levenshtein distance: how many letters to insert, drop or replace. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const row = [i + 1]
    for (const [j, other] of [...b].entries()) {
      const replaced = (previous[j] ?? 0) + (letter === other ? 0 : 1)
      row.push(Math.min(replaced, (previous[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1))
    }
    previous = row
  }
  return previous[b.length] ?? 0
}
