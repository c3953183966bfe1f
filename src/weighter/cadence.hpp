#pragma once

#include <cstddef>

#include "base/time.hpp"

/// How often a provider is asked, and for what. `check` counts with it what the probes cost.
namespace rpcw {

/// `interval = "auto"`: own nodes cost nothing, so they are probed as often as traffic notices. A hosted provider
/// counts each request: 5 s are 570,000 in 30 days, with all that is asked besides.
inline constexpr milliseconds kOwnEvery{1'000};
inline constexpr milliseconds kHostedEvery{5'000};
/// The part of a budget that is kept for probes out of turn: those of a server in doubt, and extra ones.
inline constexpr double kBudgetKept = 0.1;

/// Extra probes of a backend cost at most this part of its bill, in the mean.
inline constexpr double kExtraPart = 0.2;
/// Servers that are probed more often than this have extra probes only when traffic or heads look suspicious, and these
/// cost no allowance.
inline constexpr milliseconds kExtraFrom{2'000};
/// Extra probes, in regular ones, that a backend can save up: a fault in a quiet hour must not cost all at once.
inline constexpr double kExtraSaved = 3;
/// Of a budget, what is kept for probes out of turn can be saved up for this long.
inline constexpr milliseconds kBudgetSavedFor{3'600'000};

/// Chain id. A provider that is moved to another chain under the same URL is found within this time.
inline constexpr milliseconds kIdentityEvery{60'000};
/// Delay after an answer without a chain id, doubled with each one in a row, up to kIdentityEvery. A server of another
/// chain has traffic until it is found out.
inline constexpr milliseconds kIdentityRefused{1'000};
/// The same of one that shows other blocks than the others while chains may not be compared yet: heads that contradict
/// each other for a moment are nothing rare at the tip of a chain.
inline constexpr milliseconds kIdentityContradicted{2'000};
/// Sync state and number of peers: they change slowly, and many providers answer neither. The same for comparing chains
/// when nothing is suspicious.
inline constexpr milliseconds kNodeStateEvery{300'000};
/// The same, and canaries, of a server that is out because of the last answer. While it is in doubt they are asked with
/// each probe.
inline constexpr milliseconds kBadAnswerEvery{30'000};
/// A method that does not exist is asked for again after this time: it may be another software by then.
inline constexpr milliseconds kUnsupportedPause{86'400'000};
/// Chains are not compared more often than this, whatever the heads say; and that often while a server is on a fork.
inline constexpr milliseconds kForkCheckLeast{10'000};
inline constexpr milliseconds kForkedEvery{30'000};
/// Heads are scanned for signs of a fork this often.
inline constexpr milliseconds kForkScanEvery{200};

/// From this many requests at once the checks of a provider go into one batch. Below it batches save nothing, and a
/// provider that refuses them costs requests more.
inline constexpr std::size_t kRequestsWorthBatching = 100;

/// While no server of a backend is healthy, each is probed after at least this part of the time that this has lasted,
/// so that the first one that recovers is found soon. An outage of days costs a server a dozen probes more than usual.
inline constexpr int kOutageParts = 8;

/// A server that has returned is probed this often at least, for this many probes, and its share grows as quickly:
/// from 8 of 256 to half of the traffic are four doublings, and two more probes for good measure. At a probe each 5 s
/// it would take half a minute, in which the others carry too much.
inline constexpr milliseconds kReturnEvery{1'000};
inline constexpr int kReturnProbes = 6;

/// Without a Retry-After the interval between two probes doubles with each rate limit in a row, this often at the most.
inline constexpr unsigned kMostDoublings = 4;
/// However long a provider asks us to stay away: it could be dead meanwhile, and one request a minute is no load.
inline constexpr milliseconds kLongestRetryAfter{60'000};

}  // namespace rpcw
