#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.hpp"

/// Every number that the rules of judging and scoring contain and that no configuration key sets, in one place: its
/// unit, and why it is what it is. docs/tuning.md shows what else was tried.
namespace rpcw::constants {

using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- heads

/// How far a head may be dated into the future before it is a lie rather than a clock that is a little off. Ethereum
/// clients themselves refuse blocks more than 15 s ahead.
inline constexpr milliseconds kClockTolerance = seconds{15};
/// A head from the future speaks against this machine's clock for as long as it has a vote, and this many blocks more:
/// where the clock is hardly further behind than the tolerance, only new blocks lie in the future.
inline constexpr int kDatedAheadBlocks = 3;
/// A head counts as a vote for this many probe intervals (plus a time-out) after it came.
inline constexpr int kVoteIntervals = 3;
/// A head's jump is explained when it covers at most this many times the time that its timestamps advanced, plus
/// max_lag: blocks come in bursts, but not for long.
inline constexpr std::int64_t kExplainedPace = 4;
/// A block time is measured over at least this many blocks and this long, since timestamps are whole seconds.
inline constexpr std::uint64_t kBlockTimeBlocks = 8;
inline constexpr milliseconds kBlockTimeSpan = seconds{20};
/// For lag a block counts for at most this many times the nominal block time: on chains with blocks on demand the
/// measured one can be minutes, and a single block of distance then says nothing.
inline constexpr int kMostOfNominalBlockTime = 2;
/// Freshness is full up to one block and this much behind: propagation and the probe's own way.
inline constexpr milliseconds kFreshSlack = seconds{2};
/// A head that is not agreed on shows others to be old from so many blocks on: where blocks come by chance, one or two
/// may be made up.
inline constexpr std::uint64_t kBehindBlocks = 3;

/// A head that falls back so often recurs: a node that is restored from a backup does it once.
inline constexpr unsigned kHeadFallsRecur = 2;
/// After so many heads in a row that did not fall back the falls are forgotten. Of two pools behind one address a
/// client meets the same one that often by chance once in a million times.
inline constexpr unsigned kSteadyHeads = 20;

// ---- failures

/// A method does not exist when so many answers in a row have said so while heads came: one may be a gateway's.
inline constexpr unsigned kRefusalsDrop = 2;
/// What the first failure in a row leaves of a score.
inline constexpr double kFailurePenalty = 0.5;
/// What a rate limit leaves of a score: the provider is alive, but cannot carry its share.
inline constexpr double kRateLimitFactor = 0.25;
/// How long a head that was shown before rate limits began is worth that much on a chain whose blocks have no age.
inline constexpr MonoTime kLimitedLongest{std::chrono::minutes{5}};
/// What too few peers leave of a score: the node may be about to fall behind.
inline constexpr double kFewPeersFactor = 0.5;
/// Half-life of the counts of attempts and failures.
inline constexpr milliseconds kErrorHalfLife = seconds{60};
/// Attempts without failure that every server is credited with: one failure out of one is no error rate of 1, and one
/// lost packet in a minute no reason to move traffic.
inline constexpr double kErrorPrior = 10.0;
/// An error rate of 5 % halves a score.
inline constexpr double kErrorWeight = 20.0;

// ---- coming back

/// A time-out is longer or shorter by up to this part, so that servers ejected together are not readmitted together.
inline constexpr double kEjectJitter = 0.1;
/// One ejection is forgiven for each time of health that is twice the last time-out, but at least a minute.
inline constexpr int kForgiveTimeOuts = 2;
inline constexpr milliseconds kForgiveLeast = seconds{60};
/// Where a ramp starts. From there it rises with the fourth root of the time: half of the score is back after a
/// sixteenth of it, since what the others carry meanwhile is what fails when one of them does.
inline constexpr double kRampStart = 0.1;
/// Faults come in rows. While a server was ejected so recently, or one is on its ramp, no other has more than this part
/// of the traffic, or than this many equal parts: two servers share 3 : 1 at most.
inline constexpr milliseconds kUneasyFor = seconds{60};
inline constexpr double kUneasyShare = 0.5;
inline constexpr double kUneasyParts = 1.5;
/// A server whose score gives it less than this part takes nothing that another one may not have.
inline constexpr double kWorthyShare = 0.005;

// ---- latency

/// Below it latencies are as good as equal: the difference is the network's noise.
inline constexpr double kLatencyFloorMs = 20.0;
/// Time constants of the smoothed latency: bad news is believed sooner than good news.
inline constexpr milliseconds kLatencyRise = seconds{10};
inline constexpr milliseconds kLatencyFall = seconds{60};
/// A change of level ends both: the estimate starts from the probes since. Page's cumulative sum on the logarithm of
/// latencies looks for a change by this factor (2), the least that a share should not wait for.
inline constexpr double kLevelStep = 0.6931471805599453;
/// Log-likelihood that decides: ln 10000, since without a change this sum is reached once in that many probes (Wald).
inline constexpr double kLevelDecided = 9.21;
/// The most of it that one probe adds: two outliers in a row, a slow name server say, are no change of level.
inline constexpr double kLevelSampleMost = 0.4;
/// Standard deviation of a log latency: assumed at first, and the least (providers were seen between 0.1 and 0.5). It
/// is measured as the mean difference of neighbours times sqrt(pi) / 2.
inline constexpr double kLevelSpread = 0.3;
inline constexpr double kLevelSpreadLeast = 0.2;
inline constexpr double kLevelDeviation = 0.886;
/// Time constant of that mean, and of how many samples the level is the mean: 60 probes, 5 s apart, tell both to a
/// tenth.
inline constexpr milliseconds kLevelSpreadTime = seconds{300};
inline constexpr double kLevelSamples = 60;
/// A probe without an answer becomes evidence when it is older than this and three usual latencies: new connections
/// and single slow answers stay below. HAProxy's counters are read sooner: that changes no weight by itself.
inline constexpr milliseconds kNoAnswerLeast{150};
inline constexpr milliseconds kNoAnswerScan{50};
inline constexpr double kNoAnswerLatencies = 3.0;

// ---- shares

/// Growth of a share for each probe interval: to the double, or by 8 of 256 when that is more.
inline constexpr double kShareGrowth = 1.0;
inline constexpr double kShareStep = 8.0 / 256.0;
/// Half-life of the share that a server keeps when it was ejected in an outage of all servers.
inline constexpr milliseconds kKeptShareHalfLife = seconds{30};
/// A HAProxy worker younger than this shows its file's weights, which say nothing about the present.
inline constexpr milliseconds kWorkerSettled = seconds{60};
/// A change is worth a push from this part of a weight on: less hardly moves traffic, and would fill the log. With 0.15
/// alone, noise made 100 pushes an hour (see docs/tuning.md).
inline constexpr double kDeadBand = 0.25;
/// And from this many units on (3 % of the traffic), unless it is half of the weight: small weights jitter most.
inline constexpr unsigned kDeadStep = 8;
inline constexpr double kDeadStepWaived = 0.5;

// ---- live traffic

/// Half-lives of its counts. The first is little more than the last read, for faults that leave no doubt. The next
/// finds a fault within seconds; the last keeps it in mind for a minute, so that a server that fails only under load
/// does not get its load back as soon as it is spared it.
inline constexpr milliseconds kLiveNewest{500};
inline constexpr milliseconds kLiveRecent = seconds{3};
inline constexpr milliseconds kLiveMinute = seconds{60};
/// HAProxy's `rtime` is an average over this many answers (TIME_STATS_SAMPLES in its defaults.h).
inline constexpr double kRtimeSamples = 512;
/// The mean of the newest ones is told from so many on: whole milliseconds of the average give it to about 10 ms then,
/// half of kLatencyFloorMs. Where they take longer than this to come, a change in between would be averaged over.
inline constexpr double kLiveTimed = 50;
inline constexpr MonoTime kLiveTimedWithin = seconds{5};
/// Counters slip (a client that leaves while it waits in the queue, a retry): what is counted as unanswered fades.
inline constexpr milliseconds kBacklogHalfLife = seconds{60};
/// Half-life of taking a body that has not ended for a stream, whose client does not wait for an end.
inline constexpr milliseconds kStreamHalfLife = seconds{60};
/// A sample of the size of answers is the mean of so many: real requests have answers of very different sizes, and the
/// test for a change of level needs three samples. The spread is learned from so many of these.
inline constexpr double kSizeAnswers = 16;
inline constexpr double kSizeSpreadSamples = 20;
/// A server whose answers alone have another size than so many samples is doubted: by kLevelStep / 2, and by more than
/// chance makes of so many samples since the change at least. What clients ask for comes in waves, and rounds of a
/// balancer may lead one kind to one server for a while. It is doubted until they have their size again, and for this
/// long at the most: what lasts is the provider's way then.
inline constexpr double kSizeSamples = 10;
inline constexpr double kSizeConfirmed = 2;
inline constexpr double kSizePenalty = 0.25;
inline constexpr MonoTime kSizeChangeLongest = std::chrono::hours{1};
/// Fewer recent requests say nothing about quotas and latency.
inline constexpr double kLiveEnough = 20;
/// Ejects by the counts of kLiveMinute where there is little traffic: nearly all requests fail, even if chance was
/// against the server (of 6 all, of 10 nine), and hardly any of the others'.
inline constexpr double kLiveOutFew = 0.40;
inline constexpr double kLiveOutFewOthers = 0.05;
/// `live_errors` is reported from this rate above the others' and this many failures on.
inline constexpr double kLiveFailing = 0.02;
inline constexpr double kLiveFailingFailures = 3;
/// Ejects by the counts of kLiveRecent.
inline constexpr double kLiveOutRecent = 0.20;
inline constexpr double kLiveOutRecentFailures = 5;
/// Ejects by the counts of kLiveMinute: a tenth of all requests failing is worse than doing without the server.
inline constexpr double kLiveOutMinute = 0.10;
inline constexpr double kLiveOutMinuteFailures = 20;
/// What is beyond chance: so many standard deviations.
inline constexpr double kLiveDeviations = 3.0;
/// In the newest counts the rate must be that high even if chance was that much against the server.
inline constexpr double kLiveOutSurely = 0.05;
/// The part of a probe's time-out after which silence is enough to take a server out whose requests pile up as well.
inline constexpr double kHangPart = 0.5;
/// At most this part of a backend's servers is taken out by live traffic alone: it may be the requests that are bad.
/// Under a hash they may be one client's, which would go on to the next server: then it is one server, and so many of
/// its requests have to fail.
inline constexpr double kLiveOutMost = 0.5;
inline constexpr double kLiveOutHashed = 0.5;
/// Within one read: what calls for a probe at once, besides being more than chance makes of what is usual.
inline constexpr double kLiveSuddenFailures = 2;
inline constexpr double kLivePileSuspected = 2;
/// Open requests pile up when there are this many times more than usual, and so many more besides.
inline constexpr double kLivePileFactor = 2;
inline constexpr double kLivePile = 4;
/// Half-life of how long requests have been waiting, once a pile is worked off.
inline constexpr milliseconds kWaitingHalfLife = seconds{1};
/// Open requests are taken to wait for at most so many times as long as there have been more than usual.
inline constexpr double kWaitingAhead = 4;
/// Time constant of how long answers usually take, while that rises.
inline constexpr milliseconds kUsualRise = seconds{30};
/// What another HAProxy showed of open requests counts for so long: it is read each second by default.
inline constexpr MonoTime kOpenShownFor = seconds{5};
/// A server lets requests wait when at two reads in a row so many are open beside kLivePileFactor times the usual
/// number.
inline constexpr double kWaitingLeast = 2;
/// So many such reads show what it carries. Its rates of answers differ by no more than this part beside what chance
/// makes of single counts. Where no limit is known, there are so many reads, and what was sent has a variance so many
/// times that of what was answered: a slow server answers what it was sent. Where one is known, the pace is at most so
/// many times that.
inline constexpr double kSaturatedReads = 4;
inline constexpr double kSaturatedSpread = 0.3;
inline constexpr double kSaturatedVaried = 5.5;
inline constexpr double kSaturatedVariance = 6;
inline constexpr double kSaturatedKnown = 1.1;
/// The live part of the latency that is used.
inline constexpr double kLiveLatencyPart = 0.5;
/// Live latency is told as a reason when it is so many times what probes say, and what the others show in the same way.
inline constexpr double kLiveLeftBehind = 2.0;
/// A quota is met when so many requests, and this part above the others', are answered with 4xx.
inline constexpr double kQuotaRefusals = 3;
inline constexpr double kQuotaExcess = 0.02;
/// Of what was carried, so that the next read finds no refusals.
inline constexpr double kQuotaMargin = 0.93;
/// What a limited probe leaves of it where HAProxy sees no refusal: each costs clients errors until the next probe.
inline constexpr double kQuotaUnseenLeft = 0.6;
/// The least of what was answered of late that a quota is taken for: one read is a small sample.
inline constexpr double kQuotaFallMost = 0.5;
/// A new share needs this long to show: until the next read, which comes a second later by default.
inline constexpr milliseconds kQuotaSettle{900};
/// After this time more is tried. Each time that meets the limit doubles the wait.
inline constexpr milliseconds kQuotaHold = seconds{20};
inline constexpr milliseconds kQuotaHoldMost = seconds{300};
/// More by this part, and by twice as much each time that goes well.
inline constexpr double kQuotaStep = 0.04;
inline constexpr double kQuotaStepMost = 0.64;
/// The part is of the quota, or of this part of the server's equal share of the requests when that is more.
inline constexpr double kQuotaGrowthLeast = 0.25;
/// With less traffic than this a second, a part of it is no number to steer by.
inline constexpr double kQuotaTrafficLeast = 1.0;

// ---- lists

/// How long a server that HAProxy's list does not have is remembered, and how many are: a server that is deleted and
/// added again, or a second reload, must not forgive an ejection.
inline constexpr milliseconds kAbsence = seconds{600};
inline constexpr std::size_t kAbsentMost = 1000;

/// What another process knew of heads and ejections counts for this long: passes from cron half an hour apart count
/// failures in a row, also when one is late. After that it would only delay servers that are well by now.
inline constexpr milliseconds kSleepLongest = seconds{35 * 60};

// ---- tiers

/// A higher tier leaves when the lower ones have had enough healthy servers for this long: as long as a leader's
/// challenger waits, so that a server that flaps does not move a provider's bill each time.
inline constexpr milliseconds kTierSpareFor = seconds{30};

// ---- leader

/// A challenger is better when its score is this many times the leader's, for this long.
inline constexpr double kLeadMargin = 1.3;
inline constexpr milliseconds kLeadFor = seconds{30};

}  // namespace rpcw::constants
