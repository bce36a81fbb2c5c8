/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of an envelope that the gateway itself looks at, as they are written. */
#ifndef CORE_MAIL_PARAMETER_NAMES_H
#define CORE_MAIL_PARAMETER_NAMES_H

#define PN_PARAMETER_UTF8 PN_SLICE("SMTPUTF8") /* RFC 6531 section 3.4 */

#endif
