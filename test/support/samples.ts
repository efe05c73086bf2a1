/** One line of Prometheus's text format. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format */
export function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text])
      return { name, labels: Object.fromEntries(pairs), value: Number(value) }
    })
}

/** The value of a metric with exactly these labels, or undefined without such a sample. */
export function sampleValue(
  text: string,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const wanted = JSON.stringify(Object.entries(labels).toSorted())
  return samplesOf(text).find(
    (sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).toSorted()) === wanted,
  )?.value
}

/** Types of the gateway's own metrics by their names. */
export function typesOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^# TYPE (bff_\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]),
  )
}
