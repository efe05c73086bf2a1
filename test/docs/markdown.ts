/** The fenced code blocks of a language, in order. */
export function codeBlocks(markdown: string, language: string): string[] {
  const blocks = markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)
  return [...blocks].filter(([, found]) => found === language).map(([, , code = '']) => code)
}

/** The rows of all tables with this header, as cells. */
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

/** Text between backticks. */
export function codeSpans(markdown: string): string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

export interface Link {
  /** Path of a repository file, relative to the document. Empty: the document itself. */
  path: string
  /** Anchor of a heading there. */
  fragment: string
}

/** Links within the repository. */
export function links(markdown: string): Link[] {
  return [...markdown.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', fragment = ''] = target.split('#')
      return { path, fragment }
    })
}

/** The anchors of the headings, as GitHub makes them. */
export function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  )
}
