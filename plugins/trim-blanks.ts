/**
 * A text without the spaces and tabs around it: what HTTP calls optional white space, around the names and values of
 * headers. `String.trim` takes more, and a pattern for those at the end looks at each run of them again and again.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.3
 */
export function trimBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (isBlank(text[start])) start++
  while (end > start && isBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}
