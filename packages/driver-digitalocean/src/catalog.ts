import type { NodeImage, NodeLocation, NodeSize } from '@cloudlane/driver';
import { asDate } from './payload.ts';

/** A size, as far as it is read here. */
export interface DropletSize {
  readonly slug: string;
  readonly memory?: number | null;
  readonly vcpus?: number | null;
  readonly disk?: number | null;
  readonly price_hourly?: number | null;
  readonly regions?: readonly string[] | null;
  /** Whether droplets of this size can be created now. */
  readonly available?: boolean;
  readonly description?: string | null;
}

/** An image, as far as it is read here. */
export interface DropletImage {
  readonly id: number;
  readonly name: string;
  readonly type?: string | null;
  readonly distribution?: string | null;
  readonly slug?: string | null;
  readonly public?: boolean;
  readonly regions?: readonly string[] | null;
  readonly created_at?: string | null;
  readonly status?: string | null;
}

/** A region, as far as it is read here. */
export interface Region {
  readonly slug: string;
  readonly name: string;
  readonly available?: boolean;
  readonly features?: readonly string[] | null;
  readonly sizes?: readonly string[] | null;
}

export function toSize(size: DropletSize): NodeSize<DropletSize> {
  return {
    provider: 'digitalocean',
    id: size.slug,
    name: size.slug,
    vcpus: size.vcpus ?? null,
    memoryMiB: size.memory ?? null,
    diskGiB: size.disk ?? null,
    price: size.price_hourly == null ? null : { hourly: priceText(size.price_hourly), currency: 'USD' },
    locationIds: size.regions ?? null,
    raw: size,
  };
}

export function toImage(image: DropletImage): NodeImage<DropletImage> {
  return {
    provider: 'digitalocean',
    id: String(image.id),
    name: image.name,
    os: image.distribution ?? null,
    kind: kindOf(image),
    createdAt: asDate(image.created_at),
    raw: image,
  };
}

export function toLocation(region: Region): NodeLocation<Region> {
  return {
    provider: 'digitalocean',
    id: region.slug,
    name: region.name,
    country: null,
    available: region.available ?? true,
    raw: region,
  };
}

/**
 * A price as it was meant: DigitalOcean keeps some in single precision, so that 0.00744 arrives as
 * 0.00743999984115362. The shortest decimal that has the same single-precision value is the one they entered.
 */
export function priceText(price: number): string {
  if (!Number.isFinite(price) || price <= 0) return '0';
  const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const enough = digits.find((count) => Math.fround(Number(price.toPrecision(count))) === Math.fround(price)) ?? 9;
  const decimals = Math.max(0, enough - 1 - Math.floor(Math.log10(price)));
  const text = Number(price.toPrecision(enough)).toFixed(Math.min(decimals, 20));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

// Of the public images, distributions are of type `base`; what else is public is an application.
function kindOf({ public: everyones, type }: DropletImage): NodeImage['kind'] {
  if (type === 'base') return 'system';
  if (everyones) return 'app';
  return type === 'backup' || type === 'custom' ? type : 'snapshot';
}
