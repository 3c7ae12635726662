/**
 * The pages for whoever keeps the server, loaded at their own addresses only (`operatorPages` in `app.ts`). Must never know
 * a room.
 */
import type { Component } from 'svelte';
import { mount } from 'svelte';
import { openSettings } from './app/settings';
import { begin, speakAlso } from './strings';
import { operatorPart } from './strings/operator';
import { outsidePart } from './strings/outside';
import OperatorFrame from './view/operator/OperatorFrame.svelte';

/**
 * Shows the page of that path: `Content` is all of it, with one `h1`; the frame around it has the languages. Rejects when its
 * words cannot be had; the sentences in index.html stay then.
 */
export async function openPage(root: HTMLElement, path: string, Content: Component): Promise<void> {
  // Whoever is asked to open the doctor's page runs no server and needs none of the other words.
  speakAlso(path === '/doctor' ? outsidePart : operatorPart);
  await begin();
  root.replaceChildren();
  mount(OperatorFrame, { target: root, props: { settings: openSettings().shown, Content } });
}
