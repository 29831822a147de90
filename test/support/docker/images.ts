/** Tags of the images under test. */
export const IMAGES = {
  /** As the Dockerfile makes it, with the sample app. */
  product: 'self-update-test:product',
  productOnDebian: 'self-update-test:debian',
  /** The product with the suite's app baked in as 0.0.1, as 0.0.2, and with none. */
  app: 'self-update-test:0.0.1',
  newerApp: 'self-update-test:0.0.2',
  empty: 'self-update-test:empty',
} as const;
