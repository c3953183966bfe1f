#pragma once

#include "rpc/family/spec.hpp"

/// The families of this build, each in a file of its own. registry.cpp lists them.
namespace rpcw::rpc::family {

Spec evm();
Spec solana();
Spec algorand();
Spec aptos();
Spec sui();
Spec hedera();
Spec near();
Spec cometbft();
Spec substrate();
Spec stellar_rpc();
Spec horizon();
Spec xrpl();
Spec starknet();
Spec bitcoin();
Spec tron();
Spec beacon();

}  // namespace rpcw::rpc::family
