import type { CallOptions } from '@cloudlane/connection';
import {
  type ComputeDriver,
  type ComputeNode,
  type CreateNodeSpec,
  finishedOperation,
  type ListOptions,
  type NodeImage,
  type NodeLocation,
  type NodeSize,
  type NodeState,
  type Operation,
  type OperationStatus,
  type Pager,
  type Ref,
  runningOperation,
  type WaitOptions,
} from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type Action, toStatus } from './action.ts';
import { type DropletImage, type DropletSize, type Region, toImage, toLocation, toSize } from './catalog.ts';
import { connectionOf, type DigitalOceanConnection, type DigitalOceanOptions } from './digitalocean-connection.ts';
import { DROPLET_STATES, type Droplet, toNode } from './droplet.ts';
import { type DropletExtra, toDropletRequest } from './droplet-request.ts';
import { listOf } from './paging.ts';
import { memberOf, objectIn } from './payload.ts';
import { numberIn } from './reference.ts';

/** DigitalOcean's own types behind the compute contract. */
export interface DigitalOceanComputeTypes {
  readonly node: Droplet;
  readonly size: DropletSize;
  readonly image: DropletImage;
  readonly location: Region;
  readonly createExtra: DropletExtra;
}

/**
 * Virtual machines of DigitalOcean (droplets).
 *
 * Operations poll with the options of the call that began them, except for its `signal`; what is given to `wait()`
 * wins.
 */
export class DigitalOceanCompute implements ComputeDriver<DigitalOceanComputeTypes> {
  readonly provider = 'digitalocean';
  readonly connection: DigitalOceanConnection;

  /** @param options a token and everything a connection takes, or a connection to share */
  constructor(options: DigitalOceanOptions | DigitalOceanConnection) {
    this.connection = connectionOf(options);
  }

  listNodes(options?: ListOptions): Pager<ComputeNode<Droplet>> {
    return listOf(this.connection, { path: 'droplets', name: 'droplets', map: toNode }, options);
  }

  async getNode(node: Ref, options?: CallOptions): Promise<ComputeNode<Droplet>> {
    const response = await this.connection.request(`droplets/${numberIn(node, 'node')}`, { ...options });
    return toNode(objectIn<Droplet>(response, 'droplet'));
  }

  /**
   * Creates one droplet. Not idempotent: if the answer is lost, look for the droplet before trying again.
   * @throws InvalidOptionError if `spec.provider` has a field for which `spec` has its own
   */
  async createNode(
    spec: CreateNodeSpec<DropletExtra>,
    options?: CallOptions,
  ): Promise<Operation<ComputeNode<Droplet>>> {
    const json = toDropletRequest(spec);
    const response = await this.connection.request('droplets', { ...options, method: 'POST', json });
    const id = String(objectIn<Droplet>(response, 'droplet').id);
    const inherited = withoutSignal(options);
    const finish = (waiting: CallOptions) => this.getNode(id, lay(inherited, waiting));
    const action = createActionIn(response.object);
    const poll = action === null ? this.#pollDroplet(id, inherited) : this.#pollAction(id, action, inherited);
    const first: OperationStatus = { state: 'running', progress: null, raw: response.object };
    return runningOperation(action ?? id, first, poll, finish);
  }

  startNode(node: Ref, options?: CallOptions): Promise<Operation> {
    return this.#act(node, 'power_on', options);
  }

  /** Without `force` the system decides: one that does not heed the request leaves the operation failed. */
  stopNode(node: Ref, options?: CallOptions & { readonly force?: boolean | undefined }): Promise<Operation> {
    return this.#act(node, options?.force ? 'power_off' : 'shutdown', options);
  }

  rebootNode(node: Ref, options?: CallOptions & { readonly force?: boolean | undefined }): Promise<Operation> {
    return this.#act(node, options?.force ? 'power_cycle' : 'reboot', options);
  }

  /** @throws NotFoundError if there is no such droplet, or no longer */
  async destroyNode(node: Ref, options?: CallOptions): Promise<Operation> {
    await this.connection.request(`droplets/${numberIn(node, 'node')}`, { ...options, method: 'DELETE' });
    return finishedOperation(undefined, null);
  }

  /**
   * @throws InvalidOptionError for a state that droplets do not have: they are creating, running, stopped or suspended
   * @throws NotFoundError if there is no such droplet, or no longer
   */
  async waitForNode(
    node: Ref,
    until: NodeState | ((node: ComputeNode<Droplet>) => boolean),
    options?: WaitOptions,
  ): Promise<ComputeNode<Droplet>> {
    const isThere = typeof until === 'function' ? until : whenIn(until);
    const id = numberIn(node, 'node');
    let last = await this.getNode(id, options);
    const status = (): OperationStatus => ({
      state: isThere(last) ? 'done' : 'running',
      progress: null,
      raw: last.raw,
    });
    const poll = async (waiting: CallOptions) => {
      last = await this.getNode(id, waiting);
      return status();
    };
    return runningOperation(id, status(), poll, async () => last).wait(options);
  }

  /** Also sizes that no droplet can be created with at the moment: see `raw.available`. */
  listSizes(options?: ListOptions): Pager<NodeSize<DropletSize>> {
    return listOf(this.connection, { path: 'sizes', name: 'sizes', map: toSize }, options);
  }

  /** @param options.owner `system`: DigitalOcean's distributions; `self`: the account's own. All, also applications, by default */
  listImages(
    options?: ListOptions & { readonly owner?: 'system' | 'self' | undefined },
  ): Pager<NodeImage<DropletImage>> {
    const params = {
      type: options?.owner === 'system' ? 'distribution' : null,
      private: options?.owner === 'self' || null,
    };
    return listOf(this.connection, { path: 'images', name: 'images', params, map: toImage }, options);
  }

  listLocations(options?: ListOptions): Pager<NodeLocation<Region>> {
    return listOf(this.connection, { path: 'regions', name: 'regions', map: toLocation }, options);
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async #act(node: Ref, type: string, options: CallOptions | undefined): Promise<Operation> {
    const id = numberIn(node, 'node');
    const response = await this.connection.request(`droplets/${id}/actions`, {
      ...options,
      method: 'POST',
      json: { type },
    });
    const action = objectIn<Action>(response, 'action');
    const poll = this.#pollAction(id, String(action.id), withoutSignal(options));
    return runningOperation(String(action.id), toStatus(action), poll, async () => {});
  }

  // Below the droplet, not under /actions: the right to read droplets is enough there.
  #pollAction(
    droplet: string,
    action: string,
    inherited: CallOptions,
  ): (waiting: CallOptions) => Promise<OperationStatus> {
    const path = `droplets/${droplet}/actions/${encodeURIComponent(action)}`;
    return async (waiting) =>
      toStatus(objectIn<Action>(await this.connection.request(path, lay(inherited, waiting)), 'action'));
  }

  #pollDroplet(id: string, inherited: CallOptions): (waiting: CallOptions) => Promise<OperationStatus> {
    return async (waiting) => {
      const { state, raw } = await this.getNode(id, lay(inherited, waiting));
      return { state: state === 'running' ? 'done' : 'running', progress: null, raw };
    };
  }
}

/** The id of the action that creates a droplet, if the answer links to it. */
function createActionIn(answer: unknown): string | null {
  const actions = memberOf(memberOf(answer, 'links'), 'actions');
  if (!Array.isArray(actions)) return null;
  const id = memberOf(
    actions.find((action) => memberOf(action, 'rel') === 'create'),
    'id',
  );
  return typeof id === 'number' ? String(id) : null;
}

function whenIn(state: NodeState): (node: ComputeNode) => boolean {
  const states = [...DROPLET_STATES.values()];
  if (!states.includes(state)) {
    throw new InvalidOptionError('until', `is a state that no droplet reaches; there are ${states.join(', ')}`);
  }
  return (node) => node.state === state;
}

// A signal may be a deadline, and that was for the call.
function withoutSignal(options: CallOptions = {}): CallOptions {
  const { signal: _, ...rest } = options;
  return rest;
}

function lay(below: CallOptions, above: CallOptions): CallOptions {
  const given = Object.entries(above).filter(([, value]) => value !== undefined);
  return { ...below, ...Object.fromEntries(given) };
}
