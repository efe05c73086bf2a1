import { context, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  CompositePropagator,
  setGlobalErrorHandler,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { TraceSettings } from './settings.ts'

/** Loaded only when traces are exported: no other file imports the SDK. */
export interface TraceExport {
  /** Sends what is left. Never fails, and takes two seconds at the most. */
  shutdown(): Promise<void>
}

const longestFlushMs = 2000

/**
 * Registers OpenTelemetry's SDK for this process, as an application would. Requests wait for no export: spans are
 * queued, and dropped while the queue is full.
 *
 * @param onFailure called for each batch that could not be sent
 */
export function startTraceExport(settings: TraceSettings, onFailure: (error: unknown) => void): TraceExport {
  setGlobalErrorHandler(onFailure)
  const resource = resourceFromAttributes({ 'service.name': 'fastify-bff' })
  const detected = detectResources({ detectors: [serviceInstanceIdDetector, envDetector] })
  const { sampler, ratio, ...limits } = settings
  const provider = new TracerProvider({
    resource: defaultResource().merge(resource).merge(detected),
    sampler: samplerOf(sampler, ratio),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...limits })],
  })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  )
  trace.setGlobalTracerProvider(provider)

  return {
    async shutdown() {
      const flushed = provider.shutdown().catch(onFailure)
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, longestFlushMs)
      })
      await Promise.race([flushed, late])
      clearTimeout(timer)
    },
  }
}

function samplerOf(name: TraceSettings['sampler'], ratio: number): Sampler {
  switch (name) {
    case 'always_on':
      return new AlwaysOnSampler()
    case 'always_off':
      return new AlwaysOffSampler()
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio)
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() })
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() })
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) })
  }
}
