import assert from 'node:assert/strict'
import { test } from 'node:test'
import { passedCookies } from '../../../http/cookies.ts'

function passed(header: string | undefined, ...names: string[]) {
  return passedCookies(header, { names, sessionCookies: ['bff', '__Host-shop'] })
}

test('cookies pass by name, in order and unchanged', () => {
  assert.equal(
    passed('a=1; theme="d a=r;k"; b; theme=2;lang=x=y', 'theme', 'lang'),
    'theme="d a=r; theme=2; lang=x=y',
  )
})

test('a cookie without a value has a name too', () => {
  assert.equal(passed('theme; x', 'theme'), 'theme')
  assert.equal(passed('=theme', 'theme'), undefined)
})

test('cookie names are case-sensitive', () => {
  assert.equal(passed('Theme=1', 'theme'), undefined)
})

test("spaces are not part of a cookie's name, other white space is, so no cookie can pretend to have a prefix", () => {
  assert.equal(passed(' __Host-theme\t=1 ', '__Host-theme'), '__Host-theme\t=1')
  for (const blank of ['\xa0', '\v', '\f', '\ufeff', '\u2003']) {
    assert.equal(passed(`${blank}__Host-theme=1; __Host-theme${blank}=1`, '__Host-theme'), undefined)
  }
})

test('the header is left out where no cookie passes', () => {
  for (const header of [undefined, '', ';', 'x=1']) assert.equal(passed(header, 'theme'), undefined)
  assert.equal(passed('theme=1'), undefined)
})

test("the gateway's own cookies never pass, not even when they are named", () => {
  const names = ['bff', 'bff-tx', 'bff-tx-0123456789abcdef', 'bff-rounds', 'bff-bound']
  const header = names.map((name) => `${name}=secret`).join('; ')
  assert.equal(passed(header, ...names), undefined)
  assert.equal(passed(`theme="; ${header}; x=" ; bff =secret`, ...names, 'theme'), 'theme="')
})

test("another frontend's cookies never pass, nor with another prefix or case", () => {
  const names = [
    '__Host-shop',
    '__Host-shop-tx-0123456789abcdef',
    'shop',
    '__Secure-shop',
    '__host-SHOP-rounds',
  ]
  names.push('__Host-bff', '__Secure-bff', '__Http-bff', '__Host-Http-bff', 'BFF', 'Bff-TX-1')
  const header = names.map((name) => `${name}=secret`).join('; ')
  assert.equal(passed(header, ...names), undefined)
})

test("a cookie whose name only starts like the gateway's passes", () => {
  assert.equal(
    passed('bffx=1; shopping=2; x-bff=3', 'bffx', 'shopping', 'x-bff'),
    'bffx=1; shopping=2; x-bff=3',
  )
})
