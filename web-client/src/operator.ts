/**
 * The pages for whoever keeps the server, loaded at their own addresses only (`operatorPages` in `app.ts`). Must never know
 * a room.
 */
import type { Component } from 'svelte';
import { mount } from 'svelte';
import { openSettings } from './app/settings';
import { begin, speakAlso } from './strings';
import { operatorPart } from './strings/operator';
import OperatorFrame from './view/operator/OperatorFrame.svelte';

/** Shows one: its whole content, with one `h1`; the frame around it has the languages. Rejects when something of it cannot be had; the sentences in index.html stay then. */
export async function openPage(root: HTMLElement, Content: Component): Promise<void> {
  speakAlso(operatorPart);
  await begin();
  root.replaceChildren();
  mount(OperatorFrame, { target: root, props: { settings: openSettings().shown, Content } });
}
