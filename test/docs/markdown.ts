/** The fenced code blocks of a language, in order. */
export function codeBlocks(markdown: string, language: string): string[] {
  const blocks = markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)
  return [...blocks].filter(([, found]) => found === language).map(([, , code = '']) => code)
}

/** The rows of the tables that begin with this header, of all of them, cell by cell. */
export function tableRows(markdown: string, header: string): string[][] {
  const tables = markdown.split(`${header}\n`).slice(1)
  if (tables.length === 0) throw new Error(`No table begins with ${header}`)
  return tables.flatMap(rowsOf)
}

function rowsOf(table: string): string[][] {
  const [, ...lines] = table.split('\n')
  const end = lines.findIndex((line) => !line.startsWith('|'))
  return lines.slice(0, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** What stands between backticks. */
export function codeSpans(markdown: string): string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

export interface Link {
  /** Of a file of the repository, relative to the document. Empty: the document itself. */
  path: string
  /** Of a heading there. */
  fragment: string
}

/** Those that don't lead away from the repository. */
export function links(markdown: string): Link[] {
  return [...markdown.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', fragment = ''] = target.split('#')
      return { path, fragment }
    })
}

/** What links call the headings, as GitHub does it. */
export function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  )
}
