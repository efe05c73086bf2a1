/** Prints a benchmark's result: a table, or one line of JSON. */
export function report(rows: object[], json: boolean): void {
  if (json) console.log(JSON.stringify(rows))
  else console.table(rows)
}
