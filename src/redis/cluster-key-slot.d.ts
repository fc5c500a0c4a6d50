declare module 'cluster-key-slot' {
  /** Hash slot of a key, 0-16383 (Redis Cluster specification, "Hash tags"). */
  export default function calculateSlot(key: string): number;
}
