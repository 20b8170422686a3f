// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What brings a payer's tokens into a {ChannelEscrow}.
/// @notice The interface is that of x402 batch settlement: a collector written for one escrow fits the other.
interface IDepositCollector {
    /// @notice Move exactly `amount` of `token` from `payer` to the caller.
    /// @dev A collector is only worth trusting if the payer's consent names the channel: whoever calls the escrow
    ///      chooses the channel.
    /// @param payer Whose tokens are taken.
    /// @param token The ERC-20 token.
    /// @param amount How much, in the token's smallest unit.
    /// @param channelId The channel that the deposit is for.
    /// @param collectorData What this collector needs: signatures, nonces, deadlines.
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external;
}
