import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOwnHost } from '../../../plugins/guard/checks.ts'

const publicUrl = new URL('https://app.example.com:8443/shop')

test('the host of the public URL and loopback hosts are our own', () => {
  for (const host of [
    'app.example.com',
    'app.example.com:8443',
    'APP.example.com',
    'localhost:3000',
    'shop.localhost',
    '127.0.0.1:3000',
    '192.168.0.7:3000',
    '[::1]:3000',
  ]) {
    assert.ok(isOwnHost(host, publicUrl), host)
  }
})

test('a name that an attacker can point at this machine is not', () => {
  for (const host of [
    'evil.example',
    'evil.example:3000',
    'app.example.com.evil.example',
    'localhost.evil.example',
    'evil.example#localhost',
    'notlocalhost',
    '',
    'a b',
  ]) {
    assert.ok(!isOwnHost(host, publicUrl), host)
  }
})
