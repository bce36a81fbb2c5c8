/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets, DNS and time of the fake world. See fake.h. */
#ifndef TESTS_UNIT_POLICY_FAKE_WORLD_H
#define TESTS_UNIT_POLICY_FAKE_WORLD_H

void fake_world_reset(void);

#endif
