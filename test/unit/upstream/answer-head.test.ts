import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerHead } from '../../../plugins/upstream/watched-connection.ts'

/** What undici reads of these bytes, which arrive in pieces of this size. */
function read(text: string, size: number) {
  const head = new AnswerHead()
  head.expect()
  const bytes = Buffer.from(text, 'latin1')
  for (let start = 0; start < bytes.length; start += size) head.read(bytes.subarray(start, start + size))
  return { text: bytes.toString('latin1'), isOver: head.isOver, isInterim: head.isInterim }
}

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/1.1 100'
const continues = 'HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n'
const processing = 'HTTP/1.1 102 Continue\r\nX-A: b\r\n\r\n'

const cases: [what: string, sent: string, seen: string][] = [
  ['an answer and its body', ok, ok],
  ['a 100 before it', continues + ok, processing + ok],
  ['several', continues.repeat(3) + ok, processing.repeat(3) + ok],
  [
    'a 103, then a 100',
    `HTTP/1.1 103 Hints\r\n\r\n${continues}${ok}`,
    `HTTP/1.1 103 Hints\r\n\r\n${processing}${ok}`,
  ],
  [
    'the length of a 304',
    'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\ncontent-LENGTH: 9\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\ncontent-LENGT_: 9\r\n\r\n',
  ],
  [
    'the length of a 204 behind a 100',
    `${continues}HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n`,
    `${processing}HTTP/1.1 204 No Content\r\nContent-Lengt_: 9\r\n\r\n`,
  ],
  [
    'values and names that only look similar',
    'HTTP/1.1 304 X\r\nX-Content-Length: 1\r\nContent-Leng: 2\r\nX: Content-Length: 3\r\n\r\nContent-Length: 4',
    'HTTP/1.1 304 X\r\nX-Content-Length: 1\r\nContent-Leng: 2\r\nX: Content-Length: 3\r\n\r\nContent-Length: 4',
  ],
]

for (const [what, sent, seen] of cases) {
  test(`only what undici would reject is changed, however the bytes are split: ${what}`, () => {
    for (const size of [1, 2, 3, 7, 11, 12, 1000]) {
      assert.deepEqual(read(sent, size), { text: seen, isOver: true, isInterim: false }, String(size))
    }
  })
}

test('the final answer after an interim one is handled too', () => {
  for (const size of [1, 1000]) {
    assert.deepEqual(read(continues, size), { text: processing, isOver: false, isInterim: true })
  }
})

test('bytes that belong to no request are not examined', () => {
  const bytes = Buffer.from(continues)
  new AnswerHead().read(bytes)
  assert.equal(bytes.toString(), continues)
})

test('a switch of protocols is left unchanged for undici to refuse', () => {
  assert.equal(read('HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 100', 1000).isOver, true)
})
